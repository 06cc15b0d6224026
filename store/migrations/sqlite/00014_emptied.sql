-- +goose Up

-- When the body of an event was removed; 0 while it is there.
ALTER TABLE events ADD COLUMN emptied INTEGER NOT NULL DEFAULT 0;

-- The events whose bodies can be removed, the oldest first, and how much they take. It
-- has all that is asked for, so that the events themselves are not read.
CREATE INDEX events_bodies ON events (received, size, gone, emptied) WHERE gone = 0 AND emptied = 0 AND size > 0;
