# Amazon SNS. Facts were checked on 2026-11-29.

# verify "sns": docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
# looked up. The id is the same when a message is sent again. With raw delivery nothing
# is signed, so it is not for this.
webhook "sns" {
  event {
    id      = body.MessageId
    type    = body.Type
    account = body.TopicArn
    time    = body.Timestamp
    unit    = "rfc3339"
  }
}
