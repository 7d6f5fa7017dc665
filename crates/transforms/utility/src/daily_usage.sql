-- What a customer used on a UTC day, over all meters. An hour comes first, because the peak is
-- the hour in which all meters of the customer together used most; of equal hours, the earliest.
WITH hourly AS (
    SELECT
        customer_id,
        usage_date,
        CAST(date_part('hour', start_time) AS INT) AS hour_of_day,
        sum(usage_kwh) AS usage_kwh,
        count(*) AS readings,
        min(start_time) AS first_reading,
        max(start_time) AS last_reading
    FROM standard.readings
    GROUP BY customer_id, usage_date, hour_of_day
)
SELECT
    customer_id,
    usage_date,
    CAST(sum(hourly.usage_kwh) AS DECIMAL(18, 3)) AS usage_kwh,
    sum(hourly.readings) AS readings,
    min(hourly.first_reading) AS first_reading,
    max(hourly.last_reading) AS last_reading,
    first_value(hour_of_day ORDER BY hourly.usage_kwh DESC, hour_of_day) AS peak_hour
FROM hourly
GROUP BY customer_id, usage_date
