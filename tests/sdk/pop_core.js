// @alicloud/pop-core: signs V1; a form body for POST, the query for GET. Usage: pop_core.js POST|GET|array road
'use strict';

const { RPCClient } = require('@alicloud/pop-core');
const road = require('./road');

const shape = process.argv[2];
const method = shape === 'GET' ? 'GET' : 'POST';
// A JS array becomes SpecifiedOffsetTimes.1, .2 and so on.
const times = shape === 'array' ? list => list : list => JSON.stringify(list);

road.main(`@alicloud/pop-core ${shape}`, (accessKeyId, accessKeySecret) => {
  const client = new RPCClient({
    accessKeyId, accessKeySecret, endpoint: `http://${road.endpoint()}`, apiVersion: '2017-03-21',
  });
  return (action, parameters) => client.request(action, parameters, { method });
}, times);
