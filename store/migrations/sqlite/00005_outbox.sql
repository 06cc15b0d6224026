-- +goose Up

-- A call that waits to be sent, or for a person. seq grows in the order of arrival.
-- Names and columns are those of PostgreSQL's: both are read and written by the
-- same statements.
CREATE TABLE postern_outbox (
  seq      INTEGER PRIMARY KEY,
  id       TEXT    NOT NULL UNIQUE,
  kind     TEXT    NOT NULL,
  of_id    TEXT    NOT NULL,
  provider TEXT    NOT NULL,
  client   TEXT    NOT NULL,
  account  TEXT    NOT NULL,
  endpoint TEXT    NOT NULL,
  method   TEXT    NOT NULL,
  target   TEXT    NOT NULL,
  lane     TEXT    NOT NULL, -- '' for none
  turn     INTEGER NOT NULL, -- its place in the lane
  once     BLOB    NOT NULL, -- empty for none, as mark and print
  mark     BLOB    NOT NULL,
  print    BLOB    NOT NULL,
  state    TEXT    NOT NULL,
  outcome  TEXT    NOT NULL,
  status   INTEGER NOT NULL,
  reason   TEXT    NOT NULL,
  attempt  INTEGER NOT NULL,
  wait     INTEGER NOT NULL, -- microseconds, as all times since 1970; 0 for none
  created  INTEGER NOT NULL,
  changed  INTEGER NOT NULL,
  due      INTEGER NOT NULL, -- raised by 1 << 62 while it waits behind another in its lane
  expires  INTEGER NOT NULL,
  doubt    INTEGER NOT NULL,
  forced   INTEGER NOT NULL,
  fence    INTEGER NOT NULL  -- grows with every move
);
CREATE INDEX postern_outbox_due ON postern_outbox (target, due) WHERE state IN ('accepted', 'sending', 'retrying');
CREATE INDEX postern_outbox_lane ON postern_outbox (lane, turn) WHERE lane <> '' AND state IN ('accepted', 'sending', 'retrying');
CREATE INDEX postern_outbox_waits ON postern_outbox (created) WHERE kind = 'deadletter' AND state IN ('failed', 'unknown');
CREATE UNIQUE INDEX postern_outbox_once ON postern_outbox (once) WHERE length(once) > 0;
CREATE INDEX postern_outbox_changed ON postern_outbox (changed);

-- Apart from it, so that lists never read what is sealed.
CREATE TABLE postern_outbox_sealed (
  seq     INTEGER PRIMARY KEY,
  request BLOB NOT NULL,
  result  BLOB NOT NULL
);

-- The last turn of each lane.
CREATE TABLE postern_outbox_lanes (
  lane TEXT    PRIMARY KEY,
  turn INTEGER NOT NULL
) WITHOUT ROWID;

-- The audit trail: every move of a call.
CREATE TABLE postern_outbox_moves (
  seq        INTEGER NOT NULL,
  fence      INTEGER NOT NULL, -- of the call after the move
  at         INTEGER NOT NULL,
  from_state TEXT    NOT NULL,
  to_state   TEXT    NOT NULL,
  attempt    INTEGER NOT NULL,
  outcome    TEXT    NOT NULL,
  status     INTEGER NOT NULL,
  took       INTEGER NOT NULL,
  reason     TEXT    NOT NULL,
  actor      TEXT    NOT NULL,
  replica    TEXT    NOT NULL,
  PRIMARY KEY (seq, fence)
) WITHOUT ROWID;
