-- +goose Up

-- The last good answers of safe calls, for when a provider is down. They are of no
-- need: any row may be deleted.
CREATE TABLE postern_stale (
  id     bytea       NOT NULL PRIMARY KEY, -- digest of the call and its scope
  sealed bytea       NOT NULL,
  until  timestamptz NOT NULL -- it is of use until then
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX postern_stale_until ON postern_stale (until);
