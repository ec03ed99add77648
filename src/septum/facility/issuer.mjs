// A token issuer for rehearsals: the certified server oidc-provider, as strict as INDIGO IAM where the two differ.
//
// Usage: node issuer.mjs CONFIG.json. It prints "ready" and serves until its standard input is closed, so it cannot
// outlive the process that started it. The line "close" makes it unreachable and prints "closed"; "listen" ends that.
import { generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { parse, stringify } from 'node:querystring';
import { createInterface } from 'node:readline';

import Provider, { errors } from 'oidc-provider';

const ANY_AUDIENCE = 'https://wlcg.cern.ch/jwt/v1/any';
const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const clients = new Map(config.clients.map((client) => [client.id, client]));
const faults = [];

// A new key with a new name for each start: the libraries cache the keys of an issuer by name.
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };

const provider = new Provider(config.issuer, {
  assertJwtClientAuthClaimsAndHeader(ctx, claims) {
    // IAM takes no other; the server itself would also take the issuer's name.
    if (![claims.aud].flat().includes(`${config.issuer}token`)) throw new errors.InvalidClientAuth('invalid audience');
  },
  clients: config.clients.map((client) => ({
    client_id: client.id,
    ...(client.auth === 'private_key_jwt' ? { jwks: client.jwks } : { client_secret: client.secret }),
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: client.scopes.join(' '),
    token_endpoint_auth_method: client.auth,
  })),
  cookies: { keys: [randomBytes(16).toString('hex')] },
  extraTokenClaims: () => ({ 'wlcg.ver': '1.0' }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => ANY_AUDIENCE,
      getResourceServerInfo: (ctx, resource, client) => ({
        accessTokenFormat: 'jwt',
        // Who asks for a shorter life gets it; nobody gets a longer one.
        accessTokenTTL: Math.min(clients.get(client.clientId).lifetime_s, ctx.state.asked.lifetime),
        audience: resource,
        jwt: { sign: { alg: 'RS256' } },
        scope: clients.get(client.clientId).scopes.join(' '),
      }),
      useGrantedResource: () => true,
    },
    revocation: { enabled: true },
  },
  formats: {
    customizers: {
      jwt(ctx, token, jwt) {
        const { audiences, scopes } = ctx.state.asked;
        jwt.payload.aud = audiences.length > 1 ? audiences : audiences[0];
        jwt.payload.scope = scopes.join(' ');
        // IAM writes these only for clients with the WLCG profile.
        if (!clients.get(token.clientId).scopes.includes('wlcg')) {
          delete jwt.payload.scope;
          delete jwt.payload['wlcg.ver'];
        }
        // Clocks differ a little, so IAM dates its tokens back.
        jwt.payload.nbf = jwt.payload.iat - 60;
      },
    },
  },
  jwks: { keys: [jwk] },
  routes: { jwks: '/jwk', introspection: '/introspect', revocation: '/revoke', token: '/token' },
  scopes: [...new Set(config.clients.flatMap((client) => client.scopes))],
});

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function refuse(ctx, status, error, description) {
  ctx.status = status;
  ctx.body = { error, error_description: description };
}

function basic(ctx) {
  const [scheme, code] = ctx.get('authorization').split(' ');
  if (scheme.toLowerCase() !== 'basic' || !code) return [];
  const [id, ...secret] = Buffer.from(code, 'base64').toString().split(':');
  return [id, secret.join(':')].map((text) => {
    try {
      return decodeURIComponent(text.replaceAll('+', '%20'));
    } catch {
      return '';
    }
  });
}

// How a request proves who sends it: in one way, or not at all.
function proof(ctx, form) {
  const ways = [];
  if (ctx.get('authorization')) {
    const [id, secret] = basic(ctx);
    ways.push({ id, method: 'client_secret_basic', secret });
  }
  if (form.client_secret) ways.push({ id: form.client_id, method: 'client_secret_post', secret: form.client_secret });
  if (form.client_assertion) ways.push({ id: form.client_id, method: 'private_key_jwt' });
  return ways.length === 1 ? ways[0] : { id: form.client_id };
}

function words(value) {
  return [value ?? ''].flat().join(' ').split(' ').filter(Boolean);
}

// A registered scope allows itself and, if it names a path, everything below that path.
function allows(registered, asked) {
  if (asked === registered) return true;
  return registered.includes(':/') && asked.startsWith(registered.endsWith('/') ? registered : `${registered}/`);
}

async function asIam(ctx, next) {
  const form = parse(await read(ctx.req));
  const { id, method, secret } = proof(ctx, form);
  const client = clients.get(id);
  const lifetime = Number(form.expires_in) || Infinity;
  const asked = { client: id, method, audiences: [], scopes: words(form.scope), lifetime };
  ctx.state.asked = asked;
  // From 1.14.1 on, IAM takes no other method than the registered one. An assertion is left to the server to judge.
  const good = client && method === client.auth && (method === 'private_key_jwt' || secret === client.secret);
  if (!good) return refuse(ctx, 401, 'invalid_client', 'Bad client credentials');
  if (asked.scopes.length === 0) asked.scopes = client.scopes;
  const granted = new Set();
  for (const scope of asked.scopes) {
    const found = client.scopes.find((registered) => allows(registered, scope));
    if (!found) return refuse(ctx, 400, 'invalid_scope', `Scope '${scope}' not allowed for client '${id}'`);
    granted.add(found);
  }
  // The first that is given wins, and several stand in one value.
  asked.audiences = [form.resource, form.aud, form.audience].map(words).find((list) => list.length) ?? [ANY_AUDIENCE];
  // The server knows one resource; the audiences are put into the token at the end.
  const { aud, audience, expires_in, ...rest } = form;
  ctx.req.body = stringify({ ...rest, scope: [...granted].join(' '), resource: ANY_AUDIENCE });
  await next();
  if (ctx.status === 200) ctx.body.scope = asked.scopes.join(' ');
}

function log(ctx) {
  const { client, method: auth, audiences, scopes } = ctx.state.asked ?? {};
  const line = { time: new Date().toISOString(), method: ctx.method, path: ctx.path, status: ctx.status };
  appendFileSync(config.log, `${JSON.stringify({ ...line, client, auth, audiences, scopes })}\n`);
}

// A token of any claims, signed as all others are.
function signed(claims) {
  const parts = [{ alg: 'RS256', kid: jwk.kid, typ: 'JWT' }, claims].map((part) => JSON.stringify(part));
  const text = parts.map((part) => Buffer.from(part).toString('base64url')).join('.');
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
}

// The doors of a test, not logged, and closed to other users of the machine.
async function behindDoor(ctx) {
  const body = JSON.parse(await read(ctx.req));
  const known = ctx.get('authorization') === `Bearer ${config.door}`;
  if (!known) return refuse(ctx, 403, 'access_denied', 'a door of a test');
  if (ctx.path === '/-/faults') {
    const { status, count, retry_after: retryAfter } = body;
    faults.splice(0, faults.length, ...Array(count).fill({ status, retryAfter }));
    ctx.status = 204;
  } else if (ctx.path === '/-/sign') ctx.body = { token: signed(body) };
}

provider.use(async (ctx, next) => {
  if (ctx.method === 'POST' && ctx.path.startsWith('/-/')) return behindDoor(ctx);
  const isToken = ctx.method === 'POST' && ctx.path === '/token';
  const fault = isToken ? faults.shift() : undefined;
  if (fault) {
    if (fault.retryAfter !== undefined && fault.retryAfter !== null) ctx.set('Retry-After', String(fault.retryAfter));
    refuse(ctx, fault.status, 'server_error', 'asked for by the test');
  } else if (isToken) await asIam(ctx, next);
  else await next();
  log(ctx);
});

const tls = { key: readFileSync(config.key), cert: readFileSync(config.certificate) };
const server = createServer(tls, provider.callback());
const commands = {
  close() {
    server.close(() => console.log('closed'));
    server.closeAllConnections();
  },
  listen() {
    server.listen(config.port, '127.0.0.1', () => console.log('ready'));
  },
};
commands.listen();
createInterface({ input: process.stdin })
  .on('line', (line) => commands[line]())
  .on('close', () => process.exit(0));
