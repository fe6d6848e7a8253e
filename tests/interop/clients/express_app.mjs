// An Express service that trusts Signet: users log in there, tokens are verified here, offline.

import express from "express";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const issuer = process.env.SIGNET_ISSUER;
const audience = process.env.SIGNET_AUDIENCE ?? issuer;
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const requiredClaims = ["sub", "exp", "iat", "jti", "client_id"];
const outages = ["ERR_JOSE_GENERIC", "ERR_JWKS_TIMEOUT", "ERR_JWKS_INVALID"];

async function authenticate(req, res, next) {
  const [, token] = /^Bearer (.+)$/i.exec(req.get("authorization") ?? "") ?? [];
  if (!token) return res.set("WWW-Authenticate", "Bearer").sendStatus(401);
  try {
    const expected = { issuer, audience, typ: "at+jwt", algorithms: ["ES256"], requiredClaims };
    req.claims = (await jwtVerify(token, keys, expected)).payload;
  } catch (error) {
    if (!(error instanceof errors.JOSEError) || outages.includes(error.code)) return res.sendStatus(503);
    return res.set("WWW-Authenticate", 'Bearer error="invalid_token"').sendStatus(401);
  }
  next();
}

const requireRole = (role) => (req, res, next) => (req.claims.roles.includes(role) ? next() : res.sendStatus(403));

const app = express();
app.get("/whoami", authenticate, (req, res) => res.json({ user: req.claims.sub, roles: req.claims.roles }));
app.get("/admin", authenticate, requireRole("admin"), (req, res) => res.json({ admin: req.claims.sub }));

const server = app.listen(process.env.PORT ?? 3000, "127.0.0.1", () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`),
);
