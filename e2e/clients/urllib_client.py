"""Creates and reads a customer with urllib. usage: urllib_client.py EMAIL [ORIGIN [KEY]]"""
import json
import sys
import urllib.parse
import urllib.request


def call(url, data=None):
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        body = json.load(response)
        postern = {k.lower()[8:]: v for k, v in response.headers.items() if k.lower().startswith("postern-")}
        return {"status": response.status, "id": body.get("id"), "email": body.get("email"), "postern": postern}


email, origin, key = (sys.argv[1:] + ["", ""])[:3]
origin = origin or "https://api.stripe.com"
headers = {"Authorization": "Bearer " + key} if key else {}
created = call(origin + "/v1/customers", urllib.parse.urlencode({"email": email}).encode())
read = call(origin + "/v1/customers/" + created["id"])
print(json.dumps({"created": created, "read": read}))
