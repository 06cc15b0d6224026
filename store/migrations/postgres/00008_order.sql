-- +goose Up

-- Where an event stands among those of its key: texts that begin with the same
-- letter are in its order; '' for none.
ALTER TABLE postern_events ADD COLUMN rank text COLLATE "C" NOT NULL DEFAULT '';

-- 1: it has stepped aside, 2: it has failed and holds its lane.
ALTER TABLE postern_deliveries ADD COLUMN standing smallint NOT NULL DEFAULT 0;
DROP INDEX postern_deliveries_lane;
CREATE INDEX postern_deliveries_lane ON postern_deliveries (lane, id)
  WHERE state IN ('received', 'retrying', 'processing') AND lane IS NOT NULL AND standing = 0;
CREATE INDEX postern_deliveries_standing ON postern_deliveries (lane, due) WHERE lane IS NOT NULL AND standing <> 0;

-- How far the events of a lane have come. It is with the head of the lane, so that
-- one lock is for both; until is NULL if nothing is to be kept.
ALTER TABLE postern_lanes ADD COLUMN seen text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_lanes ADD COLUMN seen_event text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_lanes ADD COLUMN applied text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_lanes ADD COLUMN applied_event text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE postern_lanes ADD COLUMN state text NOT NULL DEFAULT '';
ALTER TABLE postern_lanes ADD COLUMN until timestamptz;
