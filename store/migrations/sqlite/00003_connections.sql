-- +goose Up

-- The grant of one account at a provider. access, refresh and extra are sealed.
CREATE TABLE connections (
  id             INTEGER PRIMARY KEY,
  provider       TEXT    NOT NULL,
  account        TEXT    NOT NULL,
  credential     TEXT    NOT NULL,
  state          TEXT    NOT NULL,
  fence          INTEGER NOT NULL, -- grows with every write
  generation     INTEGER NOT NULL, -- grows with every token
  access         BLOB    NOT NULL, -- empty for none, as refresh and extra
  refresh        BLOB    NOT NULL,
  extra          BLOB    NOT NULL,
  hosts          TEXT    NOT NULL, -- JSON, as needs and granted
  base_url       TEXT    NOT NULL,
  needs          TEXT    NOT NULL,
  granted        TEXT    NOT NULL,
  obtained       INTEGER NOT NULL, -- times are microseconds since 1970, 0 for none
  expiry         INTEGER NOT NULL,
  refresh_expiry INTEGER NOT NULL,
  tries          INTEGER NOT NULL,
  failures       INTEGER NOT NULL,
  failure        TEXT    NOT NULL,
  revoke_due     INTEGER NOT NULL,
  holder         TEXT    NOT NULL,
  until          INTEGER NOT NULL,
  created        INTEGER NOT NULL,
  changed        INTEGER NOT NULL,
  UNIQUE (provider, account, credential)
);
CREATE INDEX connections_changed ON connections (changed);
CREATE INDEX connections_revoke ON connections (revoke_due) WHERE revoke_due > 0;

-- Every write of a connection.
CREATE TABLE connection_moves (
  connection INTEGER NOT NULL,
  fence      INTEGER NOT NULL, -- of the connection after the move
  at         INTEGER NOT NULL,
  from_state TEXT    NOT NULL,
  to_state   TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  reason     TEXT    NOT NULL,
  actor      TEXT    NOT NULL,
  replica    TEXT    NOT NULL,
  PRIMARY KEY (connection, fence)
) WITHOUT ROWID;
CREATE INDEX connection_moves_at ON connection_moves (at);

-- What can be used once, before it expires.
CREATE TABLE tickets (
  id      BLOB    PRIMARY KEY,
  sealed  BLOB    NOT NULL,
  expires INTEGER NOT NULL
);
CREATE INDEX tickets_expires ON tickets (expires);
