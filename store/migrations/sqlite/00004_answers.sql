-- +goose Up

-- What became of calls with an idempotency key. answer is sealed.
CREATE TABLE answers (
  id          BLOB    NOT NULL PRIMARY KEY, -- digest of scope and key
  provider    TEXT    NOT NULL,
  fingerprint BLOB    NOT NULL, -- of the request
  state       TEXT    NOT NULL,
  token       BLOB    NOT NULL, -- of who runs or ran it
  until       INTEGER NOT NULL, -- end of the lease; times are microseconds since 1970
  first       INTEGER NOT NULL, -- when it was first sent
  expires     INTEGER NOT NULL,
  unsure      INTEGER NOT NULL, -- it began although an earlier call may have had its effect
  acted       INTEGER NOT NULL, -- an earlier one surely had
  why         TEXT    NOT NULL,
  answer      BLOB    NOT NULL  -- empty for none
);
CREATE INDEX answers_expires ON answers (expires);
