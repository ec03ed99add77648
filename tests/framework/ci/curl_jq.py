"""What `curl -s -u USER --data … URL | jq -r .FIELD` does: the answer counts, not its status."""

# ruff: noqa: T201 - the log of a CI job

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode

url, user, scope, field = sys.argv[1:]
form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope}).encode()
request = urllib.request.Request(url, form, {"Authorization": f"Basic {b64encode(user.encode()).decode()}"})
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
except urllib.error.HTTPError as refused:
    body = refused.read()
print(json.loads(body).get(field) or "null")
