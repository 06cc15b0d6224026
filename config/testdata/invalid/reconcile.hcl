# Look-ups that would find the wrong thing, or everything.
provider "a" {
  hosts = ["a.example"]
  reconcile {
    get   = "/v1/orders?limit=100" # error: it asks the same for every call
    found = length(response.body.data) > 0
  }
  route "POST /path" {
    reconcile {
      get   = request.body.url # error: Data could change the path
      found = response.status == 200
    }
  }
  route "POST /host" {
    reconcile {
      get   = "https://evil.example/${request.body.id}" # error: begins with one slash
      found = response.status == 200
    }
  }
  route "POST /blind" {
    reconcile {
      get    = "/v1/orders/${request.body.id}"
      found  = request.body.id != null # error: says nothing of the answer
    }
  }
  route "POST /status" {
    reconcile {
      get    = "/v1/orders/${request.body.id}"
      found  = response.status == 200
      status = 302 # error: not the status of a success
      tries  = 3
    }
  }
  route "POST /tries" {
    reconcile {
      get   = "/v1/orders/${request.body.id}"
      found = response.status == 200
      tries = 0 # error: not between 1 and 10
    }
  }
  route "PUT /v1/orders/{id}" {
    reconcile { # error: repeated safely
      get   = "/v1/orders/${request.body.id}"
      found = response.status == 200
    }
  }
  route "POST /too/early" {
    reconcile {
      get   = "/v1/orders/${response.body.id}" # error: no response.body here
      found = response.status == 200
    }
  }
}

provider "b" {
  hosts = ["b.example"]
  route "POST /v1/customers" {
    upsert { # error: needs an update block
      lookup = "/v1/customers?ref=${request.body.ref}"
      found  = length(response.body.data) > 0
    }
  }
  route "POST /v1/gone" {
    upsert {
      lookup = "/v1/customers?ref=${request.body.ref}"
      found  = length(response.body.data) > 0
      update {
        method = "DELETE" # error: is not one of PATCH, PUT and POST
        path   = "/v1/customers/${response.body.data[0].id}"
      }
    }
  }
  route "PUT /v1/customers/{id}" {
    upsert { # error: a create is a POST
      lookup = "/v1/customers?ref=${request.body.ref}"
      found  = length(response.body.data) > 0
      update {
        path = "/v1/customers/${response.body.data[0].id}"
      }
    }
  }
}

provider "c" {
  hosts = ["c.example"]
  route "POST /none" {
    reconcile { # error: The argument "get" is required
      found = response.status == 200
    }
  }
}
