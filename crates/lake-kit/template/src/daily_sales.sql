-- What was sold on a UTC day. A run computes only the days again that its orders touch.
SELECT
    day,
    product,
    count(*) AS orders,
    sum(quantity) AS quantity,
    CAST(sum(quantity * price) AS DECIMAL(18, 2)) AS revenue
FROM standard.orders
GROUP BY day, product
