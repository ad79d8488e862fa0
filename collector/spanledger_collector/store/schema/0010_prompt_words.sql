-- Prompts are five times as long as answers: an exact index of their words would take 330 bytes a span and twice the CPU of
-- storing it. This one says which granules lack a word for 12 bytes a span, so words that few prompts have are found at once.
ALTER TABLE spans ADD INDEX IF NOT EXISTS ix_input lower(input) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 1;
