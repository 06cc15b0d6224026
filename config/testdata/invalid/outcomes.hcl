# Conditions of outcomes.
provider "a" {
  hosts = ["a.example"]
  outcome "auth" {
    when = response.status.code == 401 # error: has nothing below it
  }
  outcome "conflict" {
    when = "yes" # error: A condition must be true or false
  }
  outcome "not_found" {
    when = starts_with(response.body.error, "no") # error: Call to unknown function
  }
  outcome "forbidden" {} # error: The argument "when" is required
}
