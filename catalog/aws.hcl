# AWS's services. Facts were checked on 2026-11-29; the source stands beside each.

provider "aws" {
  hosts = ["*.amazonaws.com"]

  # Region and service are those that the SDK signs for, or of the host.
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
}
