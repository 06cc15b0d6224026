# LinkedIn. Facts were checked on 2026-11-29.

webhook "linkedin" {
  # The key is the client secret (learn.microsoft.com/linkedin/shared/api-guide/webhook-validation, read
  # 2026-11-29).
  verify "hmac" {
    header  = "X-LI-Signature"
    message = "hmacsha256=${raw_body}"
    # At registration and every two hours; three failures block the endpoint (the same page).
    handshake "challenge" {
      method = "GET"
      sign   = query.challengeCode
      body   = { challengeCode = query.challengeCode, challengeResponse = signature.hex }
    }
  }
  # Up to ten notifications of an organization are in one request; a lead comes alone
  # (learn.microsoft.com/linkedin/marketing/community-management/organizations/organization-social-action-notifications,
  # looked up 2026-11-30 by what others read there).
  event {
    split   = body.notifications == null ? body : body.notifications
    id      = "${item.notificationId} ${item.action} ${item.lastModifiedAt}"
    type    = body.type
    account = item.organizationalEntity
    time    = coalesce(item.lastModifiedAt, item.occurredAt)
    unit    = "ms"
    key     = item.sourcePost
  }
}
