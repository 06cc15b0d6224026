provider "microsoft_graph" {
  catalog = "microsoft_graph"
  credential "oauth2_client_credentials" {
    client_id     = "client-1"
    client_secret = [env("GRAPH_SECRET")]
  }
}
