-- +goose Up

-- One webhook as it was received. seq grows in the order of arrival.
CREATE TABLE events (
  seq      INTEGER PRIMARY KEY,
  id       TEXT    NOT NULL UNIQUE,
  webhook  TEXT    NOT NULL,
  account  TEXT    NOT NULL,
  event_id TEXT    NOT NULL,
  variant  INTEGER NOT NULL, -- 1, or more for another body under the same key
  weak     INTEGER NOT NULL,
  verified INTEGER NOT NULL,
  type     TEXT    NOT NULL,
  key      TEXT    NOT NULL,
  occurred INTEGER NOT NULL, -- times are microseconds since 1970, 0 for none
  received INTEGER NOT NULL,
  sha256   BLOB    NOT NULL,
  size     INTEGER NOT NULL,
  UNIQUE (webhook, account, event_id, variant)
);

-- Apart from events, so that lists never read bodies.
CREATE TABLE bodies (
  seq    INTEGER PRIMARY KEY,
  header TEXT NOT NULL, -- JSON
  body   BLOB NOT NULL
);

-- One row for each target of an event. id is seq * 256 + the target's number, so
-- that the deliveries of an event are a range.
CREATE TABLE deliveries (
  id      INTEGER PRIMARY KEY,
  target  TEXT    NOT NULL,
  state   TEXT    NOT NULL,
  due     INTEGER NOT NULL, -- next attempt; end of the lease; last move
  fence   INTEGER NOT NULL, -- grows with every move
  attempt INTEGER NOT NULL,
  wait    INTEGER NOT NULL, -- before this attempt, in microseconds
  origin  TEXT    NOT NULL,
  reason  TEXT    NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (target, state, due);

-- The audit trail: every move of a delivery.
CREATE TABLE transitions (
  delivery   INTEGER NOT NULL,
  fence      INTEGER NOT NULL, -- of the delivery after the move
  at         INTEGER NOT NULL,
  from_state TEXT    NOT NULL,
  to_state   TEXT    NOT NULL,
  attempt    INTEGER NOT NULL,
  status     INTEGER NOT NULL,
  took       INTEGER NOT NULL, -- microseconds
  reason     TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  actor      TEXT    NOT NULL,
  PRIMARY KEY (delivery, fence)
) WITHOUT ROWID;

-- What a readiness check writes.
CREATE TABLE probe (id INTEGER PRIMARY KEY, at INTEGER NOT NULL);
