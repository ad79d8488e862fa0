-- Each change of a document is on the timeline, written by the insert that makes it.
CREATE MATERIALIZED VIEW IF NOT EXISTS registry_events_mv TO events AS
SELECT
    registry.project AS project,
    concat('registry/', registry.kind, '/', registry.name, '/', toString(registry.version)) AS event_id,
    registry.time AS time,
    'config_change' AS kind,
    'info' AS severity,
    concat(registry.kind, '/', registry.name) AS subject,
    concat(registry.kind, ' ', registry.name, multiIf(
        registry.deleted, ' deleted', registry.version = 1, ' created',
        concat(' changed to version ', toString(registry.version)))) AS title,
    registry.note AS message,
    toJSONString(map('kind', toString(registry.kind), 'name', registry.name,
        'version', toString(registry.version), 'deleted', if(registry.deleted, 'true', 'false'))) AS evidence,
    concat('registry/', registry.kind, '/', registry.name) AS dedup_key,
    '' AS state,
    registry.author AS author
FROM registry;
