"""Verifies the webhooks on standard input, one a line as {secret, headers, body}, with the official library."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def verify(webhook: dict) -> dict:
    try:
        return {"message": Webhook(webhook["secret"]).verify(webhook["body"], webhook["headers"])}
    except WebhookVerificationError as error:
        return {"refused": str(error)}


for line in sys.stdin:
    print(json.dumps(verify(json.loads(line))))
