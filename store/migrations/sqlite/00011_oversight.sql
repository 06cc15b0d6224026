-- +goose Up

-- What is kept of each kind of oversight over a webhook, and who is at it. Names
-- and columns are those of PostgreSQL's: both are read and written by the same
-- statements.
CREATE TABLE postern_watches (
  kind    TEXT    NOT NULL,
  webhook TEXT    NOT NULL,
  account TEXT    NOT NULL,
  value   BLOB    NOT NULL, -- JSON, empty for none
  token   TEXT    NOT NULL, -- of who has the lease
  until   INTEGER NOT NULL, -- end of the lease; microseconds since 1970
  PRIMARY KEY (kind, webhook, account)
) WITHOUT ROWID;

-- What a provider's lists have said of an event.
CREATE TABLE postern_listed (
  seq     INTEGER PRIMARY KEY, -- of the event
  webhook TEXT    NOT NULL,
  how     TEXT    NOT NULL, -- received or backfilled; unknown if a list should have named it
  listed  INTEGER NOT NULL, -- when a list first named it; 0 for not yet
  late    INTEGER NOT NULL  -- when it was pushed after it was backfilled; 0 for not
);
