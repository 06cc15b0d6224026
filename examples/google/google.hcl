# Google Drive and Calendar, as a service account.

provider "google" {
  catalog = "google"

  # Only what this application calls: the token goes to no other host.
  # oauth2.googleapis.com is where Google's libraries ask for theirs.
  hosts = ["www.googleapis.com", "oauth2.googleapis.com"]

  # The file that Google gave out for the service account. On behalf of users of a
  # domain: subject = account, and the call names the user in Postern-Account.
  credential "jwt_bearer" {
    key    = [file("secrets/service-account.json")]
    scopes = ["https://www.googleapis.com/auth/drive.readonly", "https://www.googleapis.com/auth/calendar.events"]
  }

  # What this application does, and nothing else that the scopes would allow.
  allow {
    requests = [
      "GET /drive/v3/files", "GET /drive/v3/files/{id}",
      "GET /calendar/v3/calendars/{id}/events", "POST /calendar/v3/calendars/{id}/events",
    ]
  }
}
