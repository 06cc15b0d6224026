# App Store Server Notifications, version 2. Facts were checked on 2026-11-29.

# verify "apple": developer.apple.com/documentation/appstoreservernotifications, facts of
# 2026-11. The body is one token, which expressions do not read; the id of the event is
# the notificationUUID in it.
webhook "apple" {}
