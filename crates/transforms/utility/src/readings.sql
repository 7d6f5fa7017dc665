-- Every reading, with its meter spelled one way and the UTC day on which it starts.
-- The day follows from start_time, so the key (meter_id, start_time) determines it.
SELECT
    customer_id,
    normalise_meter(meter_id) AS meter_id,
    start_time,
    end_time,
    usage_kwh,
    region,
    CAST(start_time AS DATE) AS usage_date
FROM readings
