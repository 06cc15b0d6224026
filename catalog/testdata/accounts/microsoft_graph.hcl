provider "microsoft_graph" {
  catalog = "microsoft_graph"
  credential "oauth2" {
    client_id     = "client-1"
    client_secret = [env("MICROSOFT_GRAPH_SECRET")]
    scopes        = ["offline_access", "https://graph.microsoft.com/Mail.Read"]
  }
}
