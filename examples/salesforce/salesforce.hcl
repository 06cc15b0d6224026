# Salesforce: orders and accounts by the ids of the application, which Salesforce
# keeps in fields that are marked External ID and Unique.

provider "salesforce" {
  catalog = "salesforce"
  hosts   = ["acme.my.salesforce.com", "login.salesforce.com"]

  credential "oauth2_client_credentials" {
    token_url     = "https://acme.my.salesforce.com/services/oauth2/token"
    client_id     = env("SALESFORCE_CLIENT_ID")
    client_secret = [env("SALESFORCE_CLIENT_SECRET")]
  }

  # An order whose answer is lost is looked up by its number, before anybody makes
  # it again (developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest:
  # using_resources_retrieve_with_externalid.htm). The answer has the shape of that
  # of a create (dome_sobject_create.htm).
  route "POST /services/data/v64.0/sobjects/Order" {
    reconcile {
      get    = "/services/data/v64.0/sobjects/Order/Order_Number__c/${request.body.Order_Number__c}"
      found  = response.status == 200
      answer = { id = response.body.Id, success = true, errors = [] }
      status = 201
    }
  }
}
