-- Every order, with its product spelled one way and the UTC day on which it was placed.
SELECT
    order_id,
    product_code(product) AS product,
    quantity,
    price,
    ordered_at,
    CAST(ordered_at AS DATE) AS day,
    note
FROM orders
