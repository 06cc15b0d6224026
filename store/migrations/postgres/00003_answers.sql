-- +goose Up

-- What became of calls with an idempotency key. answer is sealed.
CREATE TABLE postern_answers (
  id          bytea NOT NULL PRIMARY KEY, -- digest of scope and key
  provider    text COLLATE "C" NOT NULL,
  fingerprint bytea   NOT NULL, -- of the request
  state       text COLLATE "C" NOT NULL,
  token       bytea   NOT NULL, -- of who runs or ran it
  until       timestamptz NOT NULL, -- end of the lease
  first       timestamptz NOT NULL, -- when it was first sent
  expires     timestamptz NOT NULL,
  resend      bigint  NOT NULL, -- microseconds after first in which the last claim could send it again
  unsure      boolean NOT NULL, -- it began although an earlier call may have had its effect
  acted       boolean NOT NULL, -- an earlier one surely had
  why         text    NOT NULL,
  answer      bytea   NOT NULL  -- empty for none
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE postern_answers ALTER COLUMN answer SET STORAGE EXTERNAL; -- sealed: it cannot be compressed
CREATE INDEX postern_answers_expires ON postern_answers (expires);
