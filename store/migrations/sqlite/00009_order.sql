-- +goose Up

-- Where an event stands among those of its key: texts that begin with the same
-- letter are in its order; '' for none.
ALTER TABLE events ADD COLUMN rank TEXT NOT NULL DEFAULT '';

-- 1: it has stepped aside, 2: it has failed and holds its lane.
ALTER TABLE deliveries ADD COLUMN standing INTEGER NOT NULL DEFAULT 0;
DROP INDEX deliveries_lane;
CREATE INDEX deliveries_lane ON deliveries (target, lane, id)
  WHERE lane <> '' AND state IN ('received', 'processing', 'retrying') AND standing = 0;
CREATE INDEX deliveries_standing ON deliveries (target, lane, due) WHERE lane <> '' AND standing <> 0;

-- How far the events of a lane have come. lane is a digest of target and lane.
CREATE TABLE marks (
  lane          BLOB    PRIMARY KEY,
  seen          TEXT    NOT NULL, -- rank; '' for none, as applied
  seen_event    TEXT    NOT NULL,
  applied       TEXT    NOT NULL,
  applied_event TEXT    NOT NULL,
  state         TEXT    NOT NULL, -- of the latest state that was delivered
  until         INTEGER NOT NULL  -- microseconds since 1970
) WITHOUT ROWID;
CREATE INDEX marks_until ON marks (until);
