# github.com/akamai/AkamaiOPEN-edgegrid-python, akamai/edgegrid/test/testcases.json,
# those without signed headers.
test "akamai: simple GET" {
  at    = "2014-03-21T19:34:21Z"
  nonce = "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
  stand_in = {
    AKAMAI_CLIENT_TOKEN  = "akab-client-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_ACCESS_TOKEN  = "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_CLIENT_SECRET = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx="
  }
  request {
    method = "GET"
    url    = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net/"
    body   = ""
  }
  assert {
    condition = sent[0].header["Authorization"] == "EG1-HMAC-SHA256 client_token=akab-client-token-xxx-xxxxxxxxxxxxxxxx;access_token=akab-access-token-xxx-xxxxxxxxxxxxxxxx;timestamp=20140321T19:34:21+0000;nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;signature=tL+y4hxyHxgWVD30X3pWnGKHcPzmrIF+LThiAOhMxYU="
  }
}

test "akamai: GET with querystring" {
  at    = "2014-03-21T19:34:21Z"
  nonce = "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
  stand_in = {
    AKAMAI_CLIENT_TOKEN  = "akab-client-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_ACCESS_TOKEN  = "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_CLIENT_SECRET = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx="
  }
  request {
    method = "GET"
    url    = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net/testapi/v1/t1?p1=1&p2=2"
    body   = ""
  }
  assert {
    condition = sent[0].header["Authorization"] == "EG1-HMAC-SHA256 client_token=akab-client-token-xxx-xxxxxxxxxxxxxxxx;access_token=akab-access-token-xxx-xxxxxxxxxxxxxxxx;timestamp=20140321T19:34:21+0000;nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;signature=hKDH1UlnQySSHjvIcZpDMbQHihTQ0XyVAKZaApabdeA="
  }
}

test "akamai: POST inside limit" {
  at    = "2014-03-21T19:34:21Z"
  nonce = "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
  stand_in = {
    AKAMAI_CLIENT_TOKEN  = "akab-client-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_ACCESS_TOKEN  = "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_CLIENT_SECRET = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx="
  }
  request {
    method = "POST"
    url    = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net/testapi/v1/t3"
    body   = "datadatadatadatadatadatadatadata"
  }
  assert {
    condition = sent[0].header["Authorization"] == "EG1-HMAC-SHA256 client_token=akab-client-token-xxx-xxxxxxxxxxxxxxxx;access_token=akab-access-token-xxx-xxxxxxxxxxxxxxxx;timestamp=20140321T19:34:21+0000;nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;signature=hXm4iCxtpN22m4cbZb4lVLW5rhX8Ca82vCFqXzSTPe4="
  }
}

test "akamai: POST empty body" {
  at    = "2014-03-21T19:34:21Z"
  nonce = "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
  stand_in = {
    AKAMAI_CLIENT_TOKEN  = "akab-client-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_ACCESS_TOKEN  = "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_CLIENT_SECRET = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx="
  }
  request {
    method = "POST"
    url    = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net/testapi/v1/t6"
    body   = ""
  }
  assert {
    condition = sent[0].header["Authorization"] == "EG1-HMAC-SHA256 client_token=akab-client-token-xxx-xxxxxxxxxxxxxxxx;access_token=akab-access-token-xxx-xxxxxxxxxxxxxxxx;timestamp=20140321T19:34:21+0000;nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;signature=1gEDxeQGD5GovIkJJGcBaKnZ+VaPtrc4qBUHixjsPCQ="
  }
}

test "akamai: PUT test" {
  at    = "2014-03-21T19:34:21Z"
  nonce = "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
  stand_in = {
    AKAMAI_CLIENT_TOKEN  = "akab-client-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_ACCESS_TOKEN  = "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
    AKAMAI_CLIENT_SECRET = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx="
  }
  request {
    method = "PUT"
    url    = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net/testapi/v1/t6"
    body   = "PPPPPPPPPPPPPPPPPPPPPPPPPPPPPPP"
  }
  assert {
    condition = sent[0].header["Authorization"] == "EG1-HMAC-SHA256 client_token=akab-client-token-xxx-xxxxxxxxxxxxxxxx;access_token=akab-access-token-xxx-xxxxxxxxxxxxxxxx;timestamp=20140321T19:34:21+0000;nonce=nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx;signature=GNBWEYSEWOLtu+7dD52da2C39aX/Jchpon3K/AmBqBU="
  }
}
