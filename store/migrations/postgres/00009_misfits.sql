-- +goose Up

-- What does not fit its schema, by what it is and how it does not fit.
CREATE INDEX postern_events_misfit ON postern_events (webhook, type, misfit, seq) WHERE misfit <> '';
