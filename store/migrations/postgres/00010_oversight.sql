-- +goose Up

-- What is kept of each kind of oversight over a webhook, and who is at it. The
-- columns are those of SQLite's: both are read and written by the same statements.
CREATE TABLE postern_watches (
  kind    text COLLATE "C" NOT NULL,
  webhook text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  value   bytea  NOT NULL, -- JSON, empty for none
  token   text COLLATE "C" NOT NULL, -- of who has the lease
  until   bigint NOT NULL, -- end of the lease; microseconds since 1970
  PRIMARY KEY (kind, webhook, account)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- What a provider's lists have said of an event.
CREATE TABLE postern_listed (
  seq     bigint PRIMARY KEY, -- of the event
  webhook text COLLATE "C" NOT NULL,
  how     text COLLATE "C" NOT NULL, -- received or backfilled; unknown if a list should have named it
  listed  bigint NOT NULL, -- when a list first named it; 0 for not yet
  late    bigint NOT NULL  -- when it was pushed after it was backfilled; 0 for not
);
