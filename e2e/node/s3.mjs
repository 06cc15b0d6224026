// Amazon's own client, as an application uses it: puts, lists, reads, copies and deletes objects of every kind of key and
// body. Prints what came back, or the error that ended it.
// usage: node s3.mjs BUCKET REGION [ENDPOINT]; with an ENDPOINT the bucket is in the path
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { Upload } from '@aws-sdk/lib-storage';
import {
  S3Client, CopyObjectCommand, CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand, DeleteObjectsCommand,
  GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand,
} from '@aws-sdk/client-s3';

const [Bucket, region, endpoint] = process.argv.slice(2);
const s3 = new S3Client({ region, maxAttempts: 1, ...(endpoint ? { endpoint, forcePathStyle: true } : {}) });
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
const get = async (Key, more = {}) => {
  const r = await s3.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return digest(await r.Body.transformToByteArray());
};

const keys = ['plain.txt', 'with space.txt', 'a+b&c=d.txt', 'ünïcödé ✓/日本.txt', "tilde~star*quote'(1)!.txt", 'percent%2F%25.txt', 'at@colon:semi;comma,$.txt'];
const report = { same: {}, listed: [], pages: 0, left: -1 };

// chunks is a body that is not in memory at once: the client sends it with a checksum behind it.
const chunks = (bytes) => {
  const pieces = [];
  for (let i = 0; i < bytes.length; i += 60_000) pieces.push(bytes.subarray(i, i + 60_000));
  return Readable.from(pieces);
};

async function put(name, Key, command) {
  const body = command.bytes;
  await s3.send(new PutObjectCommand({ Bucket, Key, ...command.input }));
  report.same[name] = (await get(Key)) === digest(body);
}

async function run() {
  await s3.send(new CreateBucketCommand({ Bucket }));
  for (const key of keys) {
    const bytes = Buffer.from(`body of ${key}`);
    await put(key, `dir/${key}`, { bytes, input: { Body: bytes, Metadata: { made: 'by  an application' }, ContentType: 'text/plain' } });
  }
  const empty = Buffer.alloc(0);
  await put('empty', 'empty', { bytes: empty, input: { Body: empty } });
  const streamed = randomBytes(300_000);
  await put('stream', 'stream', { bytes: streamed, input: { Body: chunks(streamed), ContentLength: streamed.length } });
  const sha = randomBytes(1000);
  await put('another checksum', 'sha', { bytes: sha, input: { Body: sha, ChecksumAlgorithm: 'SHA256' } });

  const big = randomBytes(11 * 1024 * 1024);
  await new Upload({ client: s3, params: { Bucket, Key: 'big', Body: chunks(big) }, partSize: 5 * 1024 * 1024, queueSize: 2 }).done();
  report.same.multipart = (await get('big')) === digest(big);
  report.same.range = (await get('big', { Range: 'bytes=1000-1999' })) === digest(big.subarray(1000, 2000));

  await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: encodeURI(`${Bucket}/dir/${keys[1]}`) }));
  report.same.copy = (await get('copy')) === digest(Buffer.from(`body of ${keys[1]}`));
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: `dir/${keys[3]}` }));
  report.same.head = head.ContentType === 'text/plain';

  for (let ContinuationToken, more = true; more; report.pages++) {
    const page = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'dir/', MaxKeys: 3, ContinuationToken }));
    report.listed.push(...page.Contents.map((c) => c.Key.slice(4)));
    ContinuationToken = page.NextContinuationToken;
    more = page.IsTruncated;
  }

  const Objects = [...keys.map((key) => ({ Key: `dir/${key}` })), { Key: 'empty' }, { Key: 'stream' }, { Key: 'sha' }, { Key: 'big' }];
  await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'copy' }));
  const left = await s3.send(new ListObjectsV2Command({ Bucket }));
  report.left = left.KeyCount;
  await s3.send(new DeleteBucketCommand({ Bucket }));
}

try {
  await run();
} catch (e) {
  report.error = { name: e.name, message: e.message, status: e.$metadata?.httpStatusCode };
}
report.keys = keys;
console.log(JSON.stringify(report));
