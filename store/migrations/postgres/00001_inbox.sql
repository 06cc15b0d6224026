-- +goose Up

-- seq grows in the order of arrival.
CREATE SEQUENCE postern_seq AS bigint;

-- What makes an event the same event. dedupe is made of digests of the event id
-- and of webhook and account, so that it fits into an index whatever the
-- provider names its events.
CREATE TABLE postern_keys (
  dedupe  bytea   NOT NULL,
  variant integer NOT NULL, -- 1, or more for another body under the same key
  seq     bigint  NOT NULL,
  sha256  bytea   NOT NULL, -- of the body
  PRIMARY KEY (dedupe, variant)
);

-- One webhook as it was received. What is not fit for text is escaped.
CREATE TABLE postern_events (
  seq      bigint PRIMARY KEY,
  id       text COLLATE "C" NOT NULL UNIQUE,
  webhook  text COLLATE "C" NOT NULL,
  account  text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  variant  integer NOT NULL,
  weak     boolean NOT NULL,
  verified boolean NOT NULL,
  type     text COLLATE "C" NOT NULL,
  key      text COLLATE "C" NOT NULL,
  lane     text COLLATE "C" NOT NULL,
  occurred timestamptz, -- NULL for none
  received timestamptz NOT NULL,
  sha256   bytea  NOT NULL,
  size     bigint NOT NULL,
  day      date   NOT NULL -- of the partition that holds the body
);
-- These grow with seq, so an index of a few pages will do.
CREATE INDEX postern_events_day ON postern_events USING brin (day) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX postern_events_received ON postern_events USING brin (received) WITH (pages_per_range = 32, autosummarize = on);

-- Apart from the events, so that lists never read bodies and old ones go by
-- partition. A day for which no partition was made in time is in the last one.
CREATE TABLE postern_bodies (
  day    date   NOT NULL,
  seq    bigint NOT NULL,
  header text   NOT NULL, -- JSON
  body   bytea  NOT NULL
) PARTITION BY RANGE (day);
CREATE INDEX postern_bodies_seq ON postern_bodies (seq);
CREATE TABLE postern_bodies_default PARTITION OF postern_bodies DEFAULT;

-- One row for each target of an event. id is seq * 512 + the target's number,
-- and + 256 if it has a lane, so that the deliveries of an event are a range.
CREATE TABLE postern_deliveries (
  id      bigint PRIMARY KEY,
  target  text COLLATE "C" NOT NULL,
  lane    bytea, -- digest of target and lane, NULL for none
  state   text COLLATE "C" NOT NULL,
  waiting boolean NOT NULL DEFAULT false, -- behind the head of its lane
  due     timestamptz NOT NULL, -- next attempt; end of the lease; last move
  fence   bigint  NOT NULL DEFAULT 0, -- grows with every move
  claim   bigint  NOT NULL DEFAULT 0, -- number of the last claim, see lost claims
  attempt integer NOT NULL DEFAULT 0,
  wait    bigint  NOT NULL DEFAULT 0, -- before this attempt, in microseconds
  origin  text COLLATE "C" NOT NULL,
  reason  text    NOT NULL DEFAULT ''
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Only what is open is in these, so that claims do not slow down with the years.
CREATE INDEX postern_deliveries_due ON postern_deliveries (target, due, id) INCLUDE (state)
  WHERE state IN ('received', 'retrying', 'processing') AND NOT waiting;
CREATE INDEX postern_deliveries_lane ON postern_deliveries (lane, id)
  WHERE state IN ('received', 'retrying', 'processing') AND lane IS NOT NULL;

-- Whoever opens or closes a delivery of a lane locks its row here first. head is
-- the only delivery of the lane that does not wait, 0 if none is open.
CREATE TABLE postern_lanes (
  lane bytea  PRIMARY KEY,
  head bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- The audit trail: every move of a delivery.
CREATE TABLE postern_trail (
  day        date    NOT NULL, -- of the partition
  delivery   bigint  NOT NULL,
  fence      bigint  NOT NULL, -- of the delivery after the move
  at         timestamptz NOT NULL,
  from_state text COLLATE "C" NOT NULL,
  to_state   text COLLATE "C" NOT NULL,
  attempt    integer NOT NULL,
  status     integer NOT NULL,
  took       bigint  NOT NULL, -- microseconds
  reason     text    NOT NULL,
  detail     text    NOT NULL,
  actor      text    NOT NULL,
  replica    text    NOT NULL
) PARTITION BY RANGE (day);
CREATE INDEX postern_trail_delivery ON postern_trail (delivery, fence);
CREATE TABLE postern_trail_default PARTITION OF postern_trail DEFAULT;

-- How many deliveries are in the states that are not open: the sum of n.
CREATE TABLE postern_tally (
  webhook text COLLATE "C" NOT NULL,
  state   text COLLATE "C" NOT NULL,
  n       bigint NOT NULL
);

-- Work that one replica does for all.
CREATE TABLE postern_leases (
  name   text COLLATE "C" PRIMARY KEY,
  holder text COLLATE "C" NOT NULL,
  until  timestamptz NOT NULL,
  fence  bigint NOT NULL DEFAULT 1 -- grows with every change of the holder
);

-- Who lives. They tell it every few seconds, so it need not outlive a crash.
CREATE UNLOGGED TABLE postern_replicas (
  id      text COLLATE "C" PRIMARY KEY,
  name    text NOT NULL,
  version text NOT NULL,
  started timestamptz NOT NULL,
  seen    timestamptz NOT NULL
);

-- Single values: what a readiness check writes, up to when events were pruned.
CREATE TABLE postern_notes (
  name text COLLATE "C" PRIMARY KEY,
  at   timestamptz NOT NULL
);
