-- +goose Up

-- What deliveries to one target are in order with, '' for none.
ALTER TABLE events ADD COLUMN lane TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN lane TEXT NOT NULL DEFAULT '';

-- The open deliveries of a lane in the order of arrival. One of them, the head,
-- has a due like any other; that of those that wait behind it is raised by 1 << 62.
CREATE INDEX deliveries_lane ON deliveries (target, lane, id)
  WHERE lane <> '' AND state IN ('received', 'processing', 'retrying');

CREATE UNIQUE INDEX deliveries_head ON deliveries (target, lane)
  WHERE lane <> '' AND state IN ('received', 'processing', 'retrying') AND due < 4611686018427387904;

-- The process that made a move.
ALTER TABLE transitions ADD COLUMN replica TEXT NOT NULL DEFAULT '';
