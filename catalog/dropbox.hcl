# Dropbox. Facts were checked on 2026-11-29.

webhook "dropbox" {
  # The key is the app secret (dropbox.com/developers/reference/webhooks; not looked up, 2026-11-29).
  verify "hmac" {
    header = "X-Dropbox-Signature"
    handshake "challenge" {
      method = "GET"
      body   = query.challenge
    }
  }
  # A ping says that something changed, not what: reconcile reads it, or the application.
  # So the same bytes mean a change each time they come.
  event {
    split   = body.list_folder.accounts
    account = item
    key     = item
    repeat  = "1m"
  }
  # POST, cursor, has_more and entries as dropbox_api and dropbox-sdk-java have them (rubydoc.info/gems/dropbox_api,
  # dropbox.github.io/dropbox-sdk-java, looked up 2026-11-29): get_latest_cursor says where the list stands
  # and has no entries; an entry that is deleted has neither id nor rev. 409 with an error that begins with
  # reset: the cursor is over (dropbox.com/developers/documentation/http/documentation; not looked up).
  reconcile {
    wake    = true
    method  = "POST"
    list    = cursor == null ? "/2/files/list_folder/get_latest_cursor" : "/2/files/list_folder/continue"
    json    = { cursor = try(coalesce(response.body.cursor, cursor), null), path = cursor == null && response.body.cursor == null ? "" : null, recursive = cursor == null && response.body.cursor == null ? true : null }
    events  = response.body.entries
    next    = response.body.has_more == true ? "/2/files/list_folder/continue" : null
    cursor  = response.body.cursor
    expired = response.status == 409 && can(regex("^reset", response.body.error_summary))
    event {
      id      = "${item[".tag"]} ${coalesce(item.id, item.path_lower)} ${coalesce(item.rev, sha256(response.body.cursor))}"
      type    = item[".tag"]
      account = account
      time    = item.server_modified
      key     = item.path_lower
    }
  }
}
