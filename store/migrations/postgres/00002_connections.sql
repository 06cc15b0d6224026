-- +goose Up

-- The grant of one account at a provider. access, refresh and extra are sealed.
CREATE TABLE postern_connections (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider       text COLLATE "C" NOT NULL,
  account        text COLLATE "C" NOT NULL,
  credential     text COLLATE "C" NOT NULL,
  state          text COLLATE "C" NOT NULL,
  fence          bigint  NOT NULL, -- grows with every write
  generation     bigint  NOT NULL, -- grows with every token
  access         bytea   NOT NULL, -- empty for none, as refresh and extra
  refresh        bytea   NOT NULL,
  extra          bytea   NOT NULL,
  hosts          text[]  NOT NULL,
  base_url       text    NOT NULL,
  needs          text[]  NOT NULL,
  granted        text[]  NOT NULL,
  obtained       timestamptz, -- NULL for none, as the following
  expiry         timestamptz,
  refresh_expiry timestamptz,
  tries          bigint  NOT NULL,
  failures       bigint  NOT NULL,
  failure        text    NOT NULL,
  revoke_due     timestamptz,
  holder         text    NOT NULL,
  until          timestamptz,
  created        timestamptz NOT NULL,
  changed        timestamptz NOT NULL,
  UNIQUE (provider, account, credential)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX postern_connections_changed ON postern_connections (changed);
CREATE INDEX postern_connections_revoke ON postern_connections (revoke_due) WHERE revoke_due IS NOT NULL;

-- Every write of a connection.
CREATE TABLE postern_connection_moves (
  connection bigint NOT NULL,
  fence      bigint NOT NULL, -- of the connection after the move
  write      bytea  NOT NULL, -- which write made it, for a writer that has lost the answer
  at         timestamptz NOT NULL,
  from_state text COLLATE "C" NOT NULL,
  to_state   text COLLATE "C" NOT NULL,
  generation bigint NOT NULL,
  reason     text   NOT NULL,
  actor      text   NOT NULL,
  replica    text   NOT NULL,
  PRIMARY KEY (connection, fence)
);
CREATE INDEX postern_connection_moves_at ON postern_connection_moves (at);

-- What can be used once, before it expires.
CREATE TABLE postern_tickets (
  id      bytea PRIMARY KEY,
  sealed  bytea NOT NULL,
  expires timestamptz NOT NULL,
  taken   bytea -- who has it, NULL for nobody yet
);
CREATE INDEX postern_tickets_expires ON postern_tickets (expires);
