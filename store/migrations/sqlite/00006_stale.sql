-- +goose Up

-- The last good answers of safe calls, for when a provider is down. They are of no
-- need: any row may be deleted.
CREATE TABLE stale (
  id     BLOB    NOT NULL PRIMARY KEY, -- digest of the call and its scope
  sealed BLOB    NOT NULL,
  until  INTEGER NOT NULL -- it is of use until then; microseconds since 1970
);
CREATE INDEX stale_until ON stale (until);
