test "a call carries the integration's secret, and the pinned version" {
  request {
    method = "POST"
    url    = "https://api.notion.com/v1/pages"
    header = { "Authorization" = "Bearer mine", "Content-Type" = "application/json" }
    body   = "{}"
  }
  upstream {}
  expect { status = 200 }
  assert { condition = sent[0].header["Authorization"] == "Bearer stand-in-for-env-NOTION_TOKEN" && sent[0].header["Notion-Version"] == "2025-09-03" && sent[0].host == "api.notion.com" }
}

test "529 did nothing, and is done again" {
  request {
    method = "POST"
    url    = "https://api.notion.com/v1/pages"
  }
  upstream { status = 529 }
  upstream {}
  expect {
    status   = 200
    attempts = 2
  }
}
