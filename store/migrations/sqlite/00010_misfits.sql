-- +goose Up

-- What does not fit its schema, by what it is and how it does not fit.
CREATE INDEX events_misfit ON events (webhook, type, misfit) WHERE misfit <> '';
