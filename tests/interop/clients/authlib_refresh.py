"""Authlib finds the token endpoint through discovery, logs in there, and refreshes when the access token runs out."""

import json
import sys

import requests
from authlib.integrations.requests_client import OAuth2Session

issuer, username, password = sys.argv[1:]
discovery = requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=10).json()
assert discovery["issuer"] == issuer, discovery
endpoint = discovery["token_endpoint"]
client = OAuth2Session("web", token_endpoint=endpoint, token_endpoint_auth_method="none", default_timeout=10)
first = dict(client.fetch_token(endpoint, grant_type="password", username=username, password=password))
client.token["expires_at"] = 1
me = client.get(f"{issuer}/v1/auth/me")
print(json.dumps({"first": first, "second": client.token, "status": me.status_code, "me": me.json()}))
