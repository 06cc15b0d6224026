# duo.com/docs/accountsapi#authentication: its example.
test "duo: the documented signature" {
  at = "2012-08-21T17:29:18Z"
  stand_in = {
    DUO_IKEY = "DIWJ8X6AEYOR5OMC6TQ1"
    DUO_SKEY = "Zh5eGmUq9zpfQnyUIu5OL9iWoMMv5ZNmk3zLJ4Ep"
  }
  request {
    method = "POST"
    url    = "https://api-XXXXXXXX.duosecurity.com/accounts/v1/account/list"
    header = { "Content-Type" = "application/x-www-form-urlencoded" }
    body   = "username=root&realname=First+Last"
  }
  assert {
    condition = sent[0].header["Authorization"] == "Basic RElXSjhYNkFFWU9SNU9NQzZUUTE6MmQ5N2Q2MTY2MzE5NzgxYjVhM2EwN2FmMzlkMzY2ZjQ5MTIzNGVkYw=="
  }
  assert { condition = sent[0].header["Date"] == "Tue, 21 Aug 2012 17:29:18 -0000" && sent[0].body == "username=root&realname=First+Last" }
}

test "duo: parameters of a query are signed as those of a form" {
  at = "2012-08-21T17:29:18Z"
  stand_in = {
    DUO_IKEY = "DIWJ8X6AEYOR5OMC6TQ1"
    DUO_SKEY = "Zh5eGmUq9zpfQnyUIu5OL9iWoMMv5ZNmk3zLJ4Ep"
  }
  request {
    method = "POST"
    url    = "https://api-XXXXXXXX.duosecurity.com/accounts/v1/account/list?username=root&realname=First%20Last"
  }
  assert {
    condition = sent[0].header["Authorization"] == "Basic RElXSjhYNkFFWU9SNU9NQzZUUTE6MmQ5N2Q2MTY2MzE5NzgxYjVhM2EwN2FmMzlkMzY2ZjQ5MTIzNGVkYw=="
  }
}
