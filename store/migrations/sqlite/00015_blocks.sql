-- +goose Up

-- Which values the events of a block have, for lists: a block is 128 events in the order of
-- arrival (seq / 128). What is there stands for whole blocks only; those after the last
-- one are looked at. It takes the place of an index of each column.
CREATE TABLE event_blocks (
  field TEXT    NOT NULL, -- webhook, account or type
  value TEXT    NOT NULL, -- never empty
  block INTEGER NOT NULL,
  PRIMARY KEY (field, value, block)
) WITHOUT ROWID;
CREATE INDEX event_blocks_block ON event_blocks (block);

DROP INDEX events_webhook;
DROP INDEX events_type;
DROP INDEX events_account;

-- Deliveries pass through the states that are left out; the index of what is due has
-- those that are open.
DROP INDEX deliveries_state;
CREATE INDEX deliveries_state ON deliveries (state) WHERE state NOT IN ('received', 'processing', 'retrying', 'applied');

-- It is made again once bodies are removed: until then nobody asks for it.
DROP INDEX events_bodies;
