CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, kind INTEGER, price REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
INSERT INTO item SELECT i, 'item ' || (i * 7919 % 100003), i % 97, i * 0.25 FROM n;
CREATE INDEX item_name ON item (name);
CREATE INDEX item_kind ON item (kind, price);
SELECT count(*), sum(price) FROM item WHERE name LIKE '%77%';
SELECT kind, count(*), max(name) FROM item GROUP BY kind ORDER BY 2 DESC, 1 LIMIT 5;
SELECT count(*) FROM item a JOIN item b ON a.name = b.name AND a.id < b.id;
UPDATE item SET name = upper(name) || '!' WHERE kind % 5 = 0;
SELECT group_concat(name) FROM item WHERE id % 10000 = 0;
DELETE FROM item WHERE kind > 50;
SELECT count(*), min(name), max(name) FROM item;
