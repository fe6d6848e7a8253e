"""A FastAPI service that trusts Signet: users log in there, tokens are verified here, offline."""

import os
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer

ISSUER = os.environ["SIGNET_ISSUER"]
AUDIENCE = os.environ.get("SIGNET_AUDIENCE", ISSUER)
CLAIMS = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]

app = FastAPI()
bearer = OAuth2PasswordBearer(tokenUrl=f"{ISSUER}/oauth2/token")
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", timeout=5)


def caller(token: Annotated[str, Depends(bearer)]) -> dict:
    try:
        key = keys.get_signing_key_from_jwt(token)
        verified = jwt.decode_complete(
            token, key, algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE, options={"require": CLAIMS}
        )
        if verified["header"].get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
    except jwt.PyJWKClientConnectionError:
        raise HTTPException(503, "The keys cannot be fetched")
    except jwt.PyJWTError:
        raise HTTPException(401, "The token is not valid", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    return verified["payload"]


def admin(claims: Annotated[dict, Depends(caller)]) -> dict:
    if "admin" not in claims["roles"]:
        raise HTTPException(403, "Administrators only")
    return claims


@app.get("/whoami")
def whoami(claims: Annotated[dict, Depends(caller)]):
    return {"user": claims["sub"], "roles": claims["roles"]}


@app.get("/admin")
def administrate(claims: Annotated[dict, Depends(admin)]):
    return {"admin": claims["sub"]}
