// A token issuer for rehearsals: the certified server oidc-provider, as strict as INDIGO IAM where the two differ.
//
// Usage: node issuer.mjs CONFIG.json. It prints "ready" and serves until its standard input is closed, so it cannot
// outlive the process that started it.
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { parse, stringify } from 'node:querystring';

import Provider from 'oidc-provider';

const ANY_AUDIENCE = 'https://wlcg.cern.ch/jwt/v1/any';
const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const clients = new Map(config.clients.map((client) => [client.id, client]));
const faults = [];

// A new key with a new name for each start: the libraries cache the keys of an issuer by name.
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };

const provider = new Provider(config.issuer, {
  clients: config.clients.map((client) => ({
    client_id: client.id,
    client_secret: client.secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: client.scopes.join(' '),
    token_endpoint_auth_method: 'client_secret_basic',
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
        accessTokenTTL: clients.get(client.clientId).lifetime_s,
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

function credentials(ctx) {
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
  const [id, secret] = credentials(ctx);
  const client = clients.get(id);
  const asked = { client: id ?? form.client_id, audiences: [], scopes: words(form.scope) };
  ctx.state.asked = asked;
  // A secret in the form is no log-in for a client that is registered for HTTP Basic.
  if (!client || client.secret !== secret) return refuse(ctx, 401, 'invalid_client', 'Bad client credentials');
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
  const { aud, audience, client_id, client_secret, ...rest } = form;
  ctx.req.body = stringify({ ...rest, scope: [...granted].join(' '), resource: ANY_AUDIENCE });
  await next();
  if (ctx.status === 200) ctx.body.scope = asked.scopes.join(' ');
}

function log(ctx) {
  const { client, audiences, scopes } = ctx.state.asked ?? {};
  const line = { time: new Date().toISOString(), method: ctx.method, path: ctx.path, status: ctx.status };
  appendFileSync(config.log, `${JSON.stringify({ ...line, client, audiences, scopes })}\n`);
}

provider.use(async (ctx, next) => {
  // A test's own door, not logged: the next COUNT requests for a token get STATUS.
  if (ctx.method === 'POST' && ctx.path === '/-/faults') {
    const { status, count, retry_after: retryAfter } = JSON.parse(await read(ctx.req));
    faults.splice(0, faults.length, ...Array(count).fill({ status, retryAfter }));
    ctx.status = 204;
    return;
  }
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
createServer(tls, provider.callback()).listen(config.port, '127.0.0.1', () => console.log('ready'));
process.stdin.on('end', () => process.exit(0)).resume();
