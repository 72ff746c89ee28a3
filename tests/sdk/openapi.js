// @alicloud/openapi-client and @alicloud/openapi-core: sign V3. Usage: openapi.js client|core query|body road|throttle
// `query` puts the parameters into the query, `body` into a chunked form body.
'use strict';

const road = require('./road');

const [, , family, place] = process.argv;

function toolkit() {
  if (family === 'client') {
    const OpenApi = require('@alicloud/openapi-client');
    const Util = require('@alicloud/tea-util');
    return { Client: OpenApi.default, ...OpenApi, Options: Util.RuntimeOptions };
  }
  const OpenApi = require('@alicloud/openapi-core');
  const Dara = require('@darabonba/typescript');
  return { Client: OpenApi.default, ...OpenApi.$OpenApiUtil, Options: Dara.RuntimeOptions };
}

const { Client, Config, Params, OpenApiRequest, Options } = toolkit();

road.main(`@alicloud/openapi-${family} ${place}`, (accessKeyId, accessKeySecret) => {
  const client = new Client(new Config({ accessKeyId, accessKeySecret, endpoint: road.endpoint(), protocol: 'HTTP' }));
  return async (action, parameters) => {
    const params = new Params({
      action, version: '2017-03-21', protocol: 'HTTP', method: 'POST', authType: 'AK', style: 'RPC', pathname: '/',
      reqBodyType: 'formData', bodyType: 'json',
    });
    const request = new OpenApiRequest({ [place]: parameters });
    return (await client.callApi(params, request, new Options({}))).body;
  };
}, list => JSON.stringify(list));
