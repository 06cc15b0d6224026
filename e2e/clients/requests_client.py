"""Creates and reads a customer with requests. usage: requests_client.py EMAIL [ORIGIN [KEY]]"""
import json
import sys

import requests


def call(response):
    body = response.json()
    postern = {k.lower()[8:]: v for k, v in response.headers.items() if k.lower().startswith("postern-")}
    return {"status": response.status_code, "id": body.get("id"), "email": body.get("email"), "postern": postern}


email, origin, key = (sys.argv[1:] + ["", ""])[:3]
origin = origin or "https://api.stripe.com"
headers = {"Authorization": "Bearer " + key} if key else {}
created = call(requests.post(origin + "/v1/customers", data={"email": email}, headers=headers, timeout=30))
read = call(requests.get(origin + "/v1/customers/" + created["id"], headers=headers, timeout=30))
print(json.dumps({"created": created, "read": read}))
