# App Store Server Notifications, version 2. Facts were checked on 2026-11-29.

# verify "apple": developer.apple.com/documentation/appstoreservernotifications, facts of
# 2026-11. The body is one token, which expressions do not read; the id of the event is
# the notificationUUID in it, which a repeat has, too
# (forums.developer.apple.com/forums/thread/756151, read 2026-11-30). Whether a repeat is
# signed anew is not verified: what Apple has signed for one UUID is one event.
webhook "apple" {
  event { varies = [body.signedPayload] }
}
