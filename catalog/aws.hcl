# AWS's services. Facts were checked on 2026-11-29; the source stands beside each.

provider "aws" {
  hosts = ["*.amazonaws.com"]

  # Region and service are those that the SDK signs for, or of the host
  # (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). A key that begins with
  # ASIA is a temporary one, and has a session_token.
  credential "aws_sigv4" {}

  # The SDKs make 3 attempts with at most 20 s between them
  # (docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
  retry {
    attempts = 3
    backoff {
      first = "1s"
      max   = "20s"
    }
  }

  # docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html
  error {
    code       = response.header["X-Amzn-Errortype"]
    message    = response.body.message
    request_id = response.header["X-Amz-Request-Id"]
  }

  # docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html, read
  # 2026-11-23, has the names; they may come with status 400.
  outcome "rate_limited" {
    when = response.status >= 400 && can(regex("(Throttling|ThrottledException|TooManyRequestsException|RequestThrottled|RequestLimitExceeded|ProvisionedThroughputExceeded|SlowDown|BandwidthLimitExceeded)", coalesce(response.header["X-Amzn-Errortype"], response.body.__type)))
    hint = "AWS is throttling this operation: spread the calls, or raise the quota in Service Quotas."
  }
  outcome "auth" {
    when = response.status >= 400 && can(regex("(RequestTimeTooSkewed|RequestExpired|InvalidSignature)", coalesce(response.header["X-Amzn-Errortype"], response.body.__type)))
    hint = "The signature does not fit, or is too old: set this machine's clock, and compare region and service."
  }
  outcome "forbidden" {
    when = response.status >= 400 && can(regex("AccessDenied", coalesce(response.header["X-Amzn-Errortype"], response.body.__type)))
    hint = "No policy allows the action: the message names the action and the resource; look at permission boundaries and resource policies, too."
  }
  # docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html. The name stands in a
  # header or, of services such as DynamoDB, in the body; S3's errors are XML.
  outcome "auth" {
    when = (response.status == 400 || response.status == 403) && can(regex("(ExpiredToken|UnrecognizedClient|InvalidClientTokenId)", coalesce(response.header["X-Amzn-Errortype"], response.body.__type)))
    hint = "AWS refuses the key: it was deactivated or deleted, or its session has ended."
  }
}
