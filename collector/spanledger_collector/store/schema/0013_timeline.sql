-- Of two changes that race, the engine may keep one's row and let the other's reach the view: who changed a document is
-- told by the registry itself, when it is asked.
DROP VIEW IF EXISTS registry_events_mv;

CREATE VIEW IF NOT EXISTS timeline AS
SELECT project, event_id, time, kind, severity, subject, title, message, evidence, dedup_key, state, author
FROM events FINAL
WHERE kind != 'config_change'
UNION ALL
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
