// The road that every Node SDK walks, and the faults that must reach its caller; the twin of road.py.
'use strict';

const UNKNOWN_VIDEO = '0123456789abcdef0123456789abcdef';
const PATIENCE_MS = 120000;
// Well under the 15 GetJobDetail a second that an account has.
const BETWEEN_LOOKS_MS = 250;

exports.endpoint = () => process.env.STILLFRAME_ENDPOINT;

const metadata = () => JSON.stringify([{ FileURL: process.env.STILLFRAME_VIDEO_URL, Title: 'clip' }]);
const pause = ms => new Promise(done => setTimeout(done, ms));

// What a caller of this SDK can read from its error.
const fault = error => ({
  type: error.name || error.constructor.name,
  code: error.code === undefined ? null : error.code,
  status: error.statusCode || (error.data && error.data.statusCode) || (error.entry && error.entry.response.statusCode) || null,
  retry_after: error.retryAfter === undefined ? null : error.retryAfter,
  text: String(error.message),
});

async function faultOf(call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    return fault(error);
  }
  throw new Error(`a fault was expected, the answer was ${JSON.stringify(answer)}`);
}

async function register(ask) {
  const answer = await ask('RegisterMedia', { RegisterMetadatas: metadata(), TemplateGroupId: 'VOD_NO_TRANSCODE' });
  return { media: answer.RegisteredMediaList[0], failed: answer.FailedFileURLs || [] };
}

const submit = async (ask, times, video) => {
  // The list decides; the Count beside it must not.
  const wanted = { VideoId: video, Count: '1', SpecifiedOffsetTimes: times([0, 1500, 2500]), Width: '320', Height: '180' };
  return (await ask('SubmitSnapshotJob', wanted)).SnapshotJob.JobId;
};

async function road(connect, times, id, secret) {
  const ask = connect(id, secret);
  const { media, failed } = await register(ask);
  const job = await submit(ask, times, media.MediaId);
  const status = async () => (await ask('GetJobDetail', { JobId: job, JobType: 'snapshot' })).SnapshotJobDetail.Status;
  const deadline = Date.now() + PATIENCE_MS;
  let now = await status();
  while (now === 'Processing' && Date.now() < deadline) {
    await pause(BETWEEN_LOOKS_MS);
    now = await status();
  }
  const shown = (await ask('ListSnapshots', { VideoId: media.MediaId, SnapshotType: 'NormalSnapshot' })).MediaSnapshot;
  const stranger = connect(id, secret + 'x');
  return {
    video: media.MediaId,
    new: media.NewRegister,
    failed_urls: failed,
    job,
    status: now,
    total: shown.Total,
    urls: shown.Snapshots.Snapshot.map(one => one.Url),
    unknown_video: await faultOf(() => submit(ask, times, UNKNOWN_VIDEO)),
    wrong_secret: await faultOf(() => submit(stranger, times, media.MediaId)),
  };
}

// Submits until the daemon refuses: its limit is so low that a few in a row must be too many.
async function throttle(connect, times, id, secret) {
  const ask = connect(id, secret);
  const { media } = await register(ask);
  for (let accepted = 0; accepted < 50; accepted++) {
    try {
      await submit(ask, times, media.MediaId);
    } catch (error) {
      return { accepted, throttled: fault(error) };
    }
  }
  throw new Error('50 submissions in a row were accepted');
}

// `connect(id, secret)` returns `ask(action, parameters)`; `times` is how this client writes a list of instants.
exports.main = async (sdk, connect, times) => {
  const walk = { road, throttle }[process.argv[process.argv.length - 1]];
  try {
    const told = await walk(connect, times, process.env.STILLFRAME_ACCESS_KEY_ID, process.env.STILLFRAME_ACCESS_KEY_SECRET);
    console.log(JSON.stringify({ sdk, ...told }));
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
};
